FROM busybox
RUN echo same > /same && touch -d @5 /same
RUN echo same > /same && touch -d @5 /same
COPY a.txt /
COPY a.txt /
