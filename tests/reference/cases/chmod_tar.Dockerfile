FROM scratch
ADD --chmod=700 tars/plain.tar /x/
