FROM busybox
RUN mkdir -m 2770 /m && mkfifo /m/fifo; touch -d @1000000000 /m/old && ln /m/old /m/hard && chown 1:2 /m/old && chmod 6755 /m/old
RUN touch -h -d @1000000001 /m/link; ln -s old /m/link; touch -d @1000000002 /m
