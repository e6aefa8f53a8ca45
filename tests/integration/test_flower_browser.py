"""Flower in a real browser: what a person sees of our worker, and what the buttons do. Chromium and its driver come with
`deploy/setup --long`. The pictures stay in build/flower/."""

import pytest

from monitoring import OURS, flower, watched
from services import ROOT, wait_until

__all__ = ["flower", "watched"]

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--window-size=1400,1000")
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


class Browser:
    def __init__(self, url, directory):
        from selenium import webdriver  # not there for make check

        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (*FLAGS, f"--user-data-dir={directory}/chromium"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.url = url
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))

    def open(self, path):
        self.driver.get(self.url + path)

    def text(self):
        return self.driver.find_element("tag name", "body").text

    def see(self, path, *words, picture=None, seconds=60):
        """Opens a page, again until all of it is there."""
        def there():
            self.open(path)
            return self.soon(lambda: all(word in self.text() for word in words), 3)

        wait_until(there, seconds, lambda: f"{path}: not all of {words} in\n{self.text()}")
        if picture:
            target = ROOT / "build/flower" / picture
            target.parent.mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(target))
            assert target.stat().st_size > 10_000

    @staticmethod
    def soon(condition, seconds):
        """Whether it came true in time."""
        try:
            return wait_until(condition, seconds)
        except AssertionError:
            return False

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def click(self, selector):
        # as a person would, were the button not under a message that just came up
        self.driver.execute_script("arguments[0].click()", self.find(selector))

    def fill(self, selector, value):
        field = self.find(selector)
        self.driver.execute_script("arguments[0].value = arguments[1]", field, str(value))

    def told(self, word, seconds=30):
        """A message with that word came up."""
        def messages():
            return self.driver.execute_script("return document.getElementById('toast-container').textContent").lower()

        wait_until(lambda: word in messages(), seconds, lambda: f"no {word!r} in {messages()!r}")

    def errors(self):
        """What scripts complained of."""
        return [entry for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def browser(flower, directory):
    made = Browser(flower.url, directory)
    yield made
    made.driver.quit()


def test_pages(watched, flower, browser, app):
    done = app.send_task("celeriac.add", (1,), {"y": 2})
    failed = app.send_task("celeriac.fail", ("no luck",))
    running = app.send_task("celeriac.sleep", (900,))
    flower.task(done.id, "SUCCESS", 60), flower.task(failed.id, "FAILURE", 60), flower.task(running.id, "STARTED", 60)

    def counted():  # with the next heartbeat
        browser.see("/workers", OURS, "Online", picture="workers.png")
        return [browser.find(f"#workers-{what}").text for what in ("online", "active", "failed")] == ["1", "1", "1"]

    wait_until(counted, 60, "the worker's counts are not shown")
    browser.see("/tasks", "celeriac.add", "celeriac.fail", "celeriac.sleep", "SUCCESS", "FAILURE", "STARTED", picture="tasks.png")
    browser.see(f"/task/{done.id}", "celeriac.add", done.id, "SUCCESS", "(1,)", "{'y': 2}", OURS, picture="task.png")
    rows = {row.find_element("tag name", "dt").text.lower(): row.find_element("tag name", "dd").text
            for row in browser.driver.find_elements("css selector", ".detail-row")}
    assert rows["result"] == "3" and float(rows["runtime"].split()[0]) < 60, rows
    browser.see(f"/task/{failed.id}", "FAILURE", "RuntimeError", "no luck", picture="failure.png")
    browser.see(f"/worker/{OURS}", OURS, "Max concurrency", picture="worker.png")
    for tab, word in (("broker", "127.0.0.1"), ("queues", "celery"), ("tasks", running.id), ("limits", "celeriac.echo"),
                      ("config", "worker_concurrency"), ("system", "nvcsw")):
        browser.click(f"#worker-tab-{tab}")
        wait_until(lambda: word in browser.find(f"#tab-{tab}").text, 30, lambda: f"{tab}: {browser.find(f'#tab-{tab}').text}")
    browser.see("/broker", "celery", picture="broker.png")
    assert browser.errors() == []


def test_buttons_of_a_task(watched, flower, browser, app):
    later = app.send_task("celeriac.echo", (1,), countdown=900)
    running = app.send_task("celeriac.sleep", (900,))
    flower.task(later.id, "RECEIVED", 60), flower.task(running.id, "STARTED", 60)
    browser.see(f"/task/{later.id}", "RECEIVED", "Revoke")
    browser.click("#task-revoke")
    browser.told("revoked")
    browser.see(f"/task/{later.id}", "REVOKED")
    browser.see(f"/task/{running.id}", "STARTED", "Terminate")
    browser.click("#task-terminate")
    browser.told("revoked")
    browser.see(f"/task/{running.id}", "REVOKED", picture="revoked.png")
    wait_until(lambda: later.state == running.state == "REVOKED", 30)


def test_buttons_of_a_worker(watched, flower, browser, app):
    wait_until(flower.worker, 60)
    browser.see(f"/worker/{OURS}", "Max concurrency")
    browser.fill("#pool-size", 3)
    browser.click("#worker-pool-grow")
    browser.told("grow")
    wait_until(lambda: flower.worker()["stats"]["pool"]["max-concurrency"] == 5, 60)
    browser.fill("#pool-size", 4)
    browser.click("#worker-pool-shrink")
    browser.told("shrink")
    wait_until(lambda: flower.worker()["stats"]["pool"]["max-concurrency"] == 1, 60)
    browser.click("#worker-tab-limits")
    row = "//tr[td[starts-with(., 'celeriac.echo')]]"
    browser.driver.execute_script("arguments[0].value = 7", browser.driver.find_element("xpath", row + "/td[2]//input"))
    browser.driver.execute_script("arguments[0].click()", browser.driver.find_element("xpath", row + "/td[2]//button"))
    browser.told("rate limit")
    registered = app.control.inspect([OURS], timeout=30, limit=1).registered()[OURS]
    assert [name for name in registered if name.startswith("celeriac.echo [rate_limit=7")], registered
    browser.click("#worker-tab-queues")
    browser.fill("#add-consumer-name", "late")
    browser.click("#worker-add-consumer")
    assert app.send_task("celeriac.echo", (1,), queue="late").get(timeout=60) == 1
    wait_until(lambda: [queue["name"] for queue in flower.worker()["active_queues"]] == ["celery", "late"], 60)
    browser.see(f"/worker/{OURS}", "Max concurrency")
    browser.click("#worker-tab-queues")
    wait_until(lambda: "late" in browser.find("#worker-queues").text, 30)
    browser.click("#worker-cancel-consumer-late")
    wait_until(lambda: [queue["name"] for queue in flower.worker()["active_queues"]] == ["celery"], 60)
    browser.click("#worker-shutdown")
    assert watched.process.wait(60) == 0
    browser.see("/workers", OURS, "Offline", picture="offline.png")
