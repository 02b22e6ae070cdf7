"""What we claim, measured: one module per benchmark, found by its name. `./cascade bench --list` names them."""
