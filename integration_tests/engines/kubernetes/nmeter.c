// Stands in for busybox's nmeter, which Debian's lacks: tests of Kubernetes' run `nmeter -d0 '%3t'` and
// take the first line for the time of day in milliseconds.
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

int main(void) {
    struct timeval now;
    gettimeofday(&now, NULL);
    struct tm *time = gmtime(&now.tv_sec);
    printf("%02d:%02d:%02d.%03d\n", time->tm_hour, time->tm_min, time->tm_sec, (int)(now.tv_usec / 1000));
    return 0;
}
