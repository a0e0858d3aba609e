FROM busybox
WORKDIR /w
COPY --link a.txt .
COPY --link --from=busybox /bin/busybox x/
RUN ls > /ls
