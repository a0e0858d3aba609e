FROM busybox AS a
HEALTHCHECK --interval=5s CMD true || false
FROM a
HEALTHCHECK NONE
