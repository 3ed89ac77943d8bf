"""The pipeline: grids to sections and back.

scheduler         threads that work on grids, each as soon as those that it needs are there
encode            grids of a .vdb file to sections
  encode_grid     one of them
  check           decodes what is written while others are encoded
  guarantee       what is promised of a grid, and whether it is kept
  pruning         topologies that follow from values
  topology_sharing  grids that share a topology, or build on another one's
  reusable        grids that an earlier frame has, whose values are not coded again
frame             one frame of an open archive
  index           its sections (grid_sections), and its table (frame_table)
  store, models   what its grids share: topologies, heads of values, networks
  decode          sections to grids
  region          a box or a level of detail of it
"""
