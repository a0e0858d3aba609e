FROM busybox AS a
COPY capable /x/
RUN cp /x/capable /x/copy && mv /x/capable /x/moved
FROM scratch
COPY --from=a /x /x
