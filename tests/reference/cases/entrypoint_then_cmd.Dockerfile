FROM busybox
ENTRYPOINT ["/entry"]
