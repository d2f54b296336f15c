"""What training costs on a machine: `sdtune bench`."""
