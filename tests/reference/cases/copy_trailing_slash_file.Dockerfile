FROM scratch
COPY a.txt/ /x
