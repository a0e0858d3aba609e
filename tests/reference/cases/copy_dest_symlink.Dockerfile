FROM busybox
RUN mkdir /real && ln -s real /rel && ln -s /real /abs && ln -s ../../../real /up && ln -s nowhere /dang && echo t > /t && ln -s t /tl && ln -s /loop /loop
COPY a.txt /rel/
COPY b.txt /abs/
COPY dir /up
COPY a.txt /tl
COPY dir/ /abs/new/
COPY a.txt /dang
