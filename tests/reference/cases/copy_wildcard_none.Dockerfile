FROM scratch
COPY nothing*.txt /x/
