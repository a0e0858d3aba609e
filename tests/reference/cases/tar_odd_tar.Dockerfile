FROM scratch
ADD tars/odd.tar /x/
