FROM busybox
RUN mkdir /real && ln -s real /way && ln -s /real /x
ADD tars/through.tar /
ADD tars/plain.tar /x
