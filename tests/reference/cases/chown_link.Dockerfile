FROM busybox
COPY etc/ /etc/
COPY --link --chown=app a.txt /x/
