FROM busybox
RUN mkdir -m 700 /d && ln -s /real /d2 && mkdir /real && mkdir /top
ADD tars/plain.tar /new/
ADD tars/through.tar /d2/
ADD tars/plain.tar /d
