FROM busybox
COPY etc/ /etc/
COPY --chown=app a.txt /user/name
COPY --chown=app:extra a.txt /user/group
COPY --chown=lone dir /lone/made/dir/
COPY --chown=1000 a.txt /uid
COPY --chown=4242 a.txt /unknown/uid
COPY --chown=4242:app a.txt /mixed
COPY --chown=app:77 a.txt /mixed2
COPY --chown=:extra a.txt /group
