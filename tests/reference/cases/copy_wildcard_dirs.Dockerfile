FROM scratch
COPY d* /x/
COPY t*e /y
COPY */file /z/
