FROM scratch
COPY --from=busybox /bin/ /bin/
RUN ["/bin/sh", "-c", "/bin/busybox ls /etc > /etcls; /bin/busybox cat /etc/hostname; /bin/busybox ls -a / > /rootls"]
