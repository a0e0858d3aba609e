FROM busybox AS a
RUN mkdir -p /t/u && echo x > /t/u/x && touch -d @1234567890 /t/u/x /t/u /t
FROM scratch
COPY --from=a /t /copied
COPY --from=a /t/ /merged/
COPY --from=a /t/u /deep/er
