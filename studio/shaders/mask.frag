// Where something is.
out float f_there;

void main() {
    f_there = 1.0;
}
