FROM scratch
ADD . .
