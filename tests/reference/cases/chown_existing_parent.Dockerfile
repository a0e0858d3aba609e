FROM busybox
RUN mkdir -p /have/dir && chmod 700 /have/dir
COPY --chown=11:12 --chmod=0640 tree/ /have/
COPY --chown=13:14 a.txt /have/new/one/
