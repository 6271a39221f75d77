"""Model families: each file is preprocess + pure-numpy decode around an Engine."""
