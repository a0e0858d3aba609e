FROM scratch
COPY --from=2 /x /
