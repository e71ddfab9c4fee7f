"""What build.py is made of: read, check and write what a deployment needs; no training code here."""
