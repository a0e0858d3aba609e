FROM scratch
COPY l* /x/
COPY dir/l* /y/
COPY d*k /z
