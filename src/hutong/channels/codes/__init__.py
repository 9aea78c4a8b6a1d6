"""What channels' codes mean: shipped maps, versions in the database, codes nobody has mapped yet."""
