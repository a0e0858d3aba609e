FROM scratch
COPY ../../a.txt /x
COPY /b.txt /y
COPY ./dir/../setuid /z
