"""python_app whose remote control waits for the worker that it asks as long as it takes: Celery's waits a second, and Flower then says
that a command has failed."""

from celery.app.control import Control

from python_app import app


class PatientControl(Control):
    def broadcast(self, command, arguments=None, destination=None, **options):
        if destination:
            options["timeout"] = 60  # or until all of them have answered
        return super().broadcast(command, arguments, destination, **options)


app.control_cls = PatientControl
