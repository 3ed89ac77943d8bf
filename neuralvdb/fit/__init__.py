"""Training of predictors; needed by encoders only."""
