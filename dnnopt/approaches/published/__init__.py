"""The published approaches, one file each: `APPROACH` says all of it, and a file with one is all that it takes."""
