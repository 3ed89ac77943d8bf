"""What users may ask for, one module per operation; `neuralvdb` itself gives their names."""
