FROM busybox
RUN ["sh", "-c", "echo \"q\" '$x' > /q"]
CMD ["a b", "c\"d", "e\\f", "<&>"]
VOLUME ["a b"]
ADD ["a.txt", "b.txt", "/spaced dir/"]
COPY --from=busybox --chown=1:1 /bin/busybox /<>&
