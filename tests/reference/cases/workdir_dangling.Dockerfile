FROM busybox
RUN ln -s /made/later /way
WORKDIR /way
COPY a.txt .
