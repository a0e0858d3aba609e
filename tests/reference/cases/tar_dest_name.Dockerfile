FROM scratch
ADD tars/plain.tar /x
COPY tars/plain.tar /copied
ADD tars/*.tgz tars/plain.tar.xz /several/
