FROM scratch
ADD tars/misnamed.txt /x/
