"""What a run is: a pipeline on this machine, a step run, and the folders that keep what they leave behind."""
