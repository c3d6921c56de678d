"""Linear and constraint models: as arrays, as files, as other libraries' models, solved."""
