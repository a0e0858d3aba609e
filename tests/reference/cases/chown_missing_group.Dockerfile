FROM busybox
COPY --chown=0:whose a.txt /
