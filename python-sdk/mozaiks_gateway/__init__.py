"""The gateway as it is installed by pip: the commands `mozaiks` and `docstore`."""
