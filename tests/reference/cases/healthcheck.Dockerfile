FROM busybox
HEALTHCHECK --interval=1m30s --timeout=1500ms --start-period=0s --start-interval=2s --retries=3 CMD ["test", "-e", "/"]
