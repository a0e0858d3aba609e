FROM busybox
COPY --chown=who a.txt /
