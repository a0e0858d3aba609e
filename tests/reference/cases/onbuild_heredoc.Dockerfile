FROM busybox AS parent
ONBUILD RUN <<E
echo one > /one
E
ONBUILD COPY <<A <<B /docs/
in a $HOME
A
in b
B
FROM parent
