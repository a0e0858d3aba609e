FROM scratch
ADD tars/through.tar /x/
