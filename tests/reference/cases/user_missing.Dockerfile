FROM busybox
USER nobodyknows
RUN true
