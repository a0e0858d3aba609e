FROM busybox AS a
ADD tars/capable.tar /x/
RUN cp /x/capable /x/copy && mv /x/capable /x/moved
FROM scratch
COPY --from=a /x /x
COPY --from=a --chown=5:6 /x/moved /chowned
