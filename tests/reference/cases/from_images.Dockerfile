FROM busybox AS a
RUN echo x > /x && touch -d @1234567890 /x && chown 3:4 /x
FROM busybox AS b
COPY --from=a /x /b/
COPY --from=0 /x /c/
COPY --from=busybox /bin/busybox /bb
COPY --from=a --chown=9:9 /x /d/
