# arguments: --build-arg=SOURCE_DATE_EPOCH=1750000000
FROM busybox
ARG SOURCE_DATE_EPOCH
RUN echo $SOURCE_DATE_EPOCH > /e
COPY a.txt dir /x/
WORKDIR /made
COPY <<EOT /here
doc
EOT
