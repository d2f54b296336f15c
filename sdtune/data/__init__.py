"""Folders of pictures as LightningDataModules: read, checked, cropped, cached and put in order."""
